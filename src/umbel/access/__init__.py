"""Who somebody is and what they may do: roles, rules, and the ports of sign-in."""
