"""Pure statistics of evaluations: means, intervals, votes, tests; and the summary made of them."""
