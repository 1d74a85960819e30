"""What the doctor says about this machine."""

import nosbuild.runtime.doctor as doctor


def test_what_is_missing_has_a_remedy_and_what_is_there_has_none():
    findings = doctor.examine()
    assert len({finding.what for finding in findings}) == len(findings)
    for finding in findings:
        assert finding.detail
        assert bool(finding.remedy) == (not finding.ok), finding


def test_what_serving_needs_is_required_and_there():
    required = {finding.what: finding for finding in doctor.examine() if finding.required}
    assert {"Python for Triton", "Triton environment", "onnxruntime"} <= set(required)
    assert all(finding.ok for finding in required.values())


def test_a_cache_folder_without_permission_is_found(monkeypatch):
    monkeypatch.setenv("NOSBUILD_CACHE", "/proc/nowhere")
    findings = {finding.what: finding for finding in doctor.examine()}
    assert not findings["cache folder"].ok
    assert "NOSBUILD_CACHE" in findings["cache folder"].remedy
