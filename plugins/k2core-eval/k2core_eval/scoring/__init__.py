"""The scorer: a process of its own that alone holds references, grades, and writes what it has graded."""
