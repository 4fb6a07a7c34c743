# Makes each line of a text a C string.
s/["\\]/\\&/g
s/.*/"&\\n"/
