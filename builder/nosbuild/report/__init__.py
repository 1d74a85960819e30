"""What a build did goes in; its report (data, page, differences between two versions) comes out."""
