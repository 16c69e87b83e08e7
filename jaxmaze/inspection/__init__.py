"""The dataset doctor: reads recorded episodes, broken ones too, and checks them."""
