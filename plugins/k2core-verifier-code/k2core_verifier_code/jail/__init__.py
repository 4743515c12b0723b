"""What runs inside the sandbox. Standard library only.

A *supervisor* answers the pool. For each job it forks a *judge*, which holds the tests. A *zygote*, forked before the first job
was read, forks the *program*: the process in which the model's code runs, with further restrictions. Judge and program talk
over a socket, in data: the program is told what to call with which arguments, and answers with values. It never holds a test
or an expected value, and nothing that it does to its own process changes how its answers are compared.
"""
