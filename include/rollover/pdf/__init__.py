"""PDFs from Typst templates: tagged (PDF/UA-1), with fonts for the scripts of people's names."""
