"""The one stream that this probe has beside those of `chain.records`."""

REGISTER = "register.csv"
