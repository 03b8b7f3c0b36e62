"""The load drill, `make load`: many deliveries from many clients, each followed to its end."""
