"""The workloads as users of each library write them."""
