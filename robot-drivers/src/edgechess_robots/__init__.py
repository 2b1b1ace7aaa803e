"""Robot arms: poses, kinematics, limits, calibration, the stop, and drivers. Knows no chess."""
