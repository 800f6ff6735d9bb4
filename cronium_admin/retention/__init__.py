"""The end of everything that is stored: deletes runs, by hand and by rule, and what else nobody needs any more."""
