"""The edgechess command."""
