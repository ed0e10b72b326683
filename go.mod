module crisol

go 1.26
