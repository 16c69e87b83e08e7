"""The report of a run: ``report/index.html``, one self-contained page made from its folder."""
