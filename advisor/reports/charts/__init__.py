"""Charts of a document, as inline SVG for HTML reports and as PNG for tickets."""
