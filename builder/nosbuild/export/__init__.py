"""Export: a loaded source goes in; an ONNX file, checked, comes out. One file a kind of source."""
