"""Charts: one look for all of them, drawn in the browser by the Plotly that the server brings along."""
