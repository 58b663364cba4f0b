"""Ways to find out who somebody is: passwords, and providers of identity."""
