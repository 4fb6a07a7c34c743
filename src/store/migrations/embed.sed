# Makes each line of a migration a C string.
s/["\\]/\\&/g
s/.*/"&\\n"/
