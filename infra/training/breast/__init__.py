"""How the network of the profile ``breast-dce`` was trained, chosen and measured."""
