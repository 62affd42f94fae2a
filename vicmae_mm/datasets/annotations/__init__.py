"""Lists and folders that say which files a dataset consists of."""
