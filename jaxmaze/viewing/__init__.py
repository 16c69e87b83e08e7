"""The trajectory viewer: episodes, what policies say about them, pictures, and the page of it all.

``opening`` finds what is to be shown; ``viewer`` puts it together as JSON; ``server`` and ``html``
bring it into a browser, where ``page/`` draws it.
"""
