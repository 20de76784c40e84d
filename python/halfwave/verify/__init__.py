"""How far results are from exact values: `python -m halfwave verify`.

Nothing else imports it. It needs `pip install "halfwave[verify]"`.
"""
