from joyn.model.aor import Aor, Numbering


def test_a_number_is_written_with_the_first_domain_and_read_with_any() -> None:
    numbering = Numbering("FR", ("Sip.Example", "also.example"))
    number = Aor("tel:+33639980001")
    assert numbering.sip_uri(number) == "sip:+33639980001@sip.example;user=phone"
    assert numbering.domain_of(number) == "sip.example"
    assert numbering.aor("sip:+33639980001@also.example;user=phone") == number
