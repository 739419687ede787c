"""How the network of the profile ``glioma`` was trained and measured, on synthetic heads alone."""
