"""A thin asyncio JSON client of the Kubernetes API, and the only taxonomy of its errors.

Alone in the project it imports `kubernetes`. Objects are plain dicts in and out.
"""
