"""`mirror serve`: a page, OpenAI's protocol and the memory API over one `Mirror`. Needs the extra `serve`."""
