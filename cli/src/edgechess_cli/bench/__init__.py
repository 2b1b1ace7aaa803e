"""`edgechess bench`: measured figures, each beside the floor or the limit of the same run. One file per benchmark."""
