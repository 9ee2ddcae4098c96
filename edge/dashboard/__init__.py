"""The edge box's web page: a process of its own, which reads the rows and asks the router that runs."""
