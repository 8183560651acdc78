"""Version v1alpha1 of the API group sluicegate.dev."""
