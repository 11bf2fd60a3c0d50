"""Training of the graph grader: views, losses, the weight network and the loop."""
