// Messages and attachments that attack the mail program or the office behind it.

rule outlook_reminder_unc : client exploit
{
    meta:
        description = "Outlook item with a reminder whose sound is on somebody else's server: it gives the user's hash away unopened"
        cve = "CVE-2023-23397"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2023-23397"
    strings:
        // PSETID_Common, the property set of PidLidReminderFileParameter.
        $set = { 08 20 06 00 00 00 00 00 C0 00 00 00 00 00 00 46 }
        $wide = /\\\x00\\\x00[a-zA-Z0-9.@_-]\x00([a-zA-Z0-9.@_-]\x00){2,60}\\\x00/
        $narrow = /\\\\[a-zA-Z0-9.@_-]{3,60}\\[a-zA-Z0-9.$_-]{1,60}/
    condition:
        (uint32be(0) == 0xd0cf11e0 or uint32(0) == 0x223e9f78) and $set and ($wide or $narrow)
}

rule outlook_moniker_link : client exploit
{
    meta:
        description = "link to a file on somebody else's server with an exclamation mark, which Outlook opens without asking"
        cve = "CVE-2024-21413"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2024-21413"
    strings:
        $link = /file:\/{2,3}\\\\[^"'<>\s]{1,200}![a-z0-9]/ nocase
    condition:
        $link
}

rule office_msdt : client exploit
{
    meta:
        description = "document or page that starts the support diagnostic tool (Follina)"
        cve = "CVE-2022-30190"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2022-30190"
    strings:
        $scheme = /ms-msdt:[^"'<>]{0,20}\/id/ nocase
        $wizard = "IT_BrowseForFile" nocase
        $package = "PCWDiagnostic" nocase
    condition:
        $scheme and ($wizard or $package)
}

rule rtf_equation_editor : client exploit
{
    meta:
        description = "RTF with an object for the equation editor"
        cve = "CVE-2017-11882"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2017-11882"
    strings:
        $class = "4571756174696f6e2e33" nocase
        $clsid = "02CE020000000000C000000000000046" nocase
        $name = "Equation.3" nocase
    condition:
        uint32be(0) == 0x7b5c7274 and any of them
}
