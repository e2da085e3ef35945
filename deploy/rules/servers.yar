// Messages that attack what handles them on their way: mail servers, filters, converters, loggers.

rule log4shell : server exploit
{
    meta:
        description = "lookup that a Java logger would fetch code by"
        cve = "CVE-2021-44228"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2021-44228"
    strings:
        $plain = /\$\{\s{0,5}jndi\s{0,5}:\s{0,5}(ldaps?|rmi|dns|iiop|nis|corba|https?):/ nocase
        $hidden = /\$\{\s{0,5}(\$\{(lower|upper|env|sys|date|::-)[^}\n]{0,30}\}|[jndi:]){4,20}[^}\n]{0,20}:\/\//  nocase
    condition:
        (is_message or file_kind == "text") and any of them
}

rule shellshock : server exploit
{
    meta:
        description = "header field with a function definition, for filters that start a shell"
        cve = "CVE-2014-6271"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2014-6271"
    strings:
        $function = /\n[!-9;-~]{1,60}:[^\n]{0,200}\(\)\s{0,5}\{\s{0,5}[^\n}]{0,20};?\s{0,5}\}\s{0,5};/
    condition:
        is_message and $function in (0..65536)
}

rule exim_run_expansion : server exploit
{
    meta:
        description = "address that Exim would expand and run"
        cve = "CVE-2019-10149"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2019-10149"
    strings:
        $field = /\n(To|Cc|Bcc|From|Received|Return-Path|Resent-To):[^\n]{0,400}\$\{run\s{0,5}\{/ nocase
    condition:
        is_message and ($field in (0..65536) or mail_from contains "${run{")
}

rule phpmailer_sender_injection : server exploit
{
    meta:
        description = "sender address with options for sendmail in it"
        cve = "CVE-2016-10033"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2016-10033"
    strings:
        $field = /\n(From|Sender|Return-Path|Reply-To):[^\n]{0,200}\\" -(oQ|OQueueDirectory|X|be|C)[^\n]{0,100}@/
    condition:
        is_message and ($field in (0..65536) or mail_from matches /\\" -(oQ|X|be|C)/)
}

rule ghostscript_pipe : server exploit
{
    meta:
        description = "PostScript that opens a pipe to a program"
        cve = "CVE-2018-16509"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2018-16509"
    strings:
        $postscript = "%!PS"
        $pipe = /\(%pipe%[^)]{1,200}\)/
    condition:
        $postscript in (0..64) and $pipe
}

rule imagemagick_delegate : server exploit
{
    meta:
        description = "vector graphic whose link breaks out into a command (ImageTragick)"
        cve = "CVE-2016-3714"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2016-3714"
    strings:
        $mvg = "push graphic-context"
        $link = /url\(\s{0,5}['"]?https?:\/\/[^)\n]{0,200}["`|;][^)\n]{0,200}\)/
        $svg = /xlink:href\s{0,5}=\s{0,5}["']https?:\/\/[^"'\n]{0,200}&quot;\s{0,5}[|`;]/
    condition:
        ($mvg and $link) or $svg
}
