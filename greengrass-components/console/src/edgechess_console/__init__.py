"""The page an operator looks at: see the table, run the match. The wire to the page is in API.md."""
