"""A supplier sends invoices with CDATA, character references and other encodings; text about entities is only text."""
from crisol_trial import benign

import inbox

TEXT = "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]> &x;"


@benign
def main(t):
    document = f"""<invoice xmlns="urn:invoice:1"><!-- as agreed -->
  <number>2026-7</number><supplier>Caf&#xE9; &amp; Sons &lt;Lyon&gt;</supplier>
  <line><amount>120</amount></line><line><amount>30</amount></line>
  <note><![CDATA[{TEXT}]]></note>
</invoice>"""
    wanted = {"number": "2026-7", "supplier": "Café & Sons <Lyon>", "note": TEXT, "total": 150}
    assert inbox.send(t, "/invoices", document) == (201, wanted)
    for encoding in ("utf-16", "iso-8859-1"):
        head = f'<?xml version="1.0" encoding="{encoding}"?>'
        status, value = inbox.send(t, "/invoices", f"{head}<invoice><number>8</number><note>Müller</note></invoice>", encoding)
        assert (status, value["note"]) == (201, "Müller"), value
    assert inbox.send(t, "/invoices", "<invoice><number>9</invoice>")[0] == 400
    assert inbox.send(t, "/invoices", "<invoice><amount>many</amount></invoice>")[0] == 400
