"""How sure answers may be: calibration, abstention, and conformal sets."""
