// Messages that attack whoever reads them in a webmail, or the web mail server itself.

rule roundcube_svg_animate_xss : webmail exploit
{
    meta:
        description = "SVG whose animate names the attribute href with a blank behind it, to get a script past the sanitiser"
        cve = "CVE-2024-37383"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2024-37383"
    strings:
        $animate = /<animate[^>]{0,200}attributeName\s{0,5}=\s{0,5}["']href\s{1,20}["']/ nocase
    condition:
        $animate
}

rule roundcube_body_style_xss : webmail exploit
{
    meta:
        description = "body element whose attributes are taken apart wrongly, with an animation that starts a script"
        cve = "CVE-2024-42009"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2024-42009"
    strings:
        $body = /<body[^>]{0,300}animation-name\s{0,5}:[^>]{0,200}onanimation(start|end|iteration)\s{0,5}=/ nocase
    condition:
        $body
}

rule roundcube_link_reference_xss : webmail exploit
{
    meta:
        description = "plain text with a link reference that has an element with an event handler in its brackets"
        cve = "CVE-2023-43770"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2023-43770"
    strings:
        $reference = /\[\s{0,5}<[a-z]{1,10}[^\]\n]{1,200}on(error|load|mouseover|focus|animationstart)\s{0,5}=[^\]\n]{1,200}\]/ nocase
    condition:
        $reference and (is_message or content_type == "text/plain")
}

rule zimbra_calendar_header_xss : webmail exploit
{
    meta:
        description = "script in the header field that Zimbra shows calendar invitations by"
        cve = "CVE-2024-27443"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2024-27443"
    strings:
        $field = /\nX-Zimbra-Calendar-Intended-For:[^\n]{0,300}(<[a-z\/!]|&lt;|javascript:|on[a-z]{3,20}=)/ nocase
    condition:
        is_message and $field
}

rule zimbra_cpio_traversal : server exploit
{
    meta:
        description = "cpio archive that writes a page into Zimbra's web application, when a scanner unpacks it"
        cve = "CVE-2022-41352"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2022-41352"
    strings:
        $odc = "070707"
        $newc = "070701"
        $crc = "070702"
        $webapp = /\/opt\/zimbra\/(jetty|jetty_base|mailboxd)\/webapps\/[!-~]{1,200}\.jspx?/
    condition:
        ($odc at 0 or $newc at 0 or $crc at 0 or uint16(0) == 0x71c7 or uint16be(0) == 0x71c7) and $webapp
}

rule zimbra_postjournal_command : server exploit
{
    meta:
        description = "address with a shell command, for Zimbra's journalling service"
        cve = "CVE-2024-45519"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2024-45519"
    strings:
        $address = /\n(To|Cc|Bcc|From|Reply-To):[^\n]{0,400}["<$`][^\n]{0,100}(\$\([^)\n]{1,300}\)|`[^`\n]{1,300}`)[^\n]{0,100}@/ nocase
    condition:
        is_message and $address and (#address > 0) and $address in (0..65536)
}
