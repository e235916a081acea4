"""Redis servers, as brokers and result backends use them."""
