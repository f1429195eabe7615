# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mailshim_global_optspecs
    string join \n h/help V/version
end

function __fish_mailshim_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mailshim_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mailshim_using_subcommand
    set -l cmd (__fish_mailshim_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mailshim -n "__fish_mailshim_needs_command" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_needs_command" -s V -l version -d 'Print version'
complete -c mailshim -n "__fish_mailshim_needs_command" -f -a "run" -d 'Listen and relay until SIGTERM or SIGINT; what no command means'
complete -c mailshim -n "__fish_mailshim_needs_command" -f -a "check" -d 'Try the way to Office 365 rung by rung; where it ends, say why and what to do'
complete -c mailshim -n "__fish_mailshim_needs_command" -f -a "send" -d 'One mail, body from standard input, through the running shim; prints Office 365\'s reply'
complete -c mailshim -n "__fish_mailshim_needs_command" -f -a "sendmail" -d 'The classic interface: a message on standard input, through the running shim'
complete -c mailshim -n "__fish_mailshim_needs_command" -f -a "exec" -d 'PID 1 of a bundled image: start the shim, then the app; exit with the app\'s code'
complete -c mailshim -n "__fish_mailshim_needs_command" -f -a "healthcheck" -d 'Exit 0 if the shim listens, for images without a shell; leaves no log line'
complete -c mailshim -n "__fish_mailshim_needs_command" -f -a "wait" -d 'Return when the shim listens'
complete -c mailshim -n "__fish_mailshim_needs_command" -f -a "queue" -d 'The spool and its dead letters: list, show, retry, drop, flush'
complete -c mailshim -n "__fish_mailshim_needs_command" -f -a "status" -d 'What goes on in the running shim: does mail go out, and if not why, since when, for whom'
complete -c mailshim -n "__fish_mailshim_needs_command" -f -a "setup" -d 'Print the PowerShell script for Microsoft\'s side, from the variables in force'
complete -c mailshim -n "__fish_mailshim_needs_command" -f -a "fleet" -d 'What the replicas of one mailbox share on PostgreSQL (MAILSHIM_FLEET)'
complete -c mailshim -n "__fish_mailshim_needs_command" -f -a "login" -d 'Sign in as a person, with a code on any device; writes MAILSHIM_REFRESH_TOKEN_FILE'
complete -c mailshim -n "__fish_mailshim_needs_command" -f -a "env" -d 'Every variable, its value in force (secrets redacted) and where it came from'
complete -c mailshim -n "__fish_mailshim_using_subcommand run" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand check" -l send -d 'Also send a test mail to this address; prints Office 365\'s reply, with its id' -r -f
complete -c mailshim -n "__fish_mailshim_using_subcommand check" -l json -d 'For programs: a line with a JSON object for each rung'
complete -c mailshim -n "__fish_mailshim_using_subcommand check" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand send" -l to -d 'Recipient, or a comma list; can be repeated' -r -f
complete -c mailshim -n "__fish_mailshim_using_subcommand send" -l subject -d 'Subject' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand send" -l from -d 'Sender: addr or "Name <addr>" [default: left to the shim\'s sender policy]' -r -f
complete -c mailshim -n "__fish_mailshim_using_subcommand send" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand sendmail" -s f -s r -d 'Envelope sender; <> or an empty one for none' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand sendmail" -s F -d 'Full name for a missing From' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand sendmail" -s b -d 'm: deliver (default); s: SMTP on standard input; p: the queue; i: aliases (nothing to do)' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand sendmail" -s N -d 'When to report: never, or a comma list of failure, delay, success' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand sendmail" -s R -d 'What a report returns: full or hdrs' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand sendmail" -s V -d 'Envelope identifier of reports' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand sendmail" -s B -d 'Body type: 7BIT or 8BITMIME (default)' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand sendmail" -s o -d 'Old options; all but -oi are accepted and ignored, and so are -O -A -C -h -L -m -n -q -U -X' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand sendmail" -s t -d 'Recipients also from To, Cc and Bcc (or Resent-*, if present); Bcc is dropped'
complete -c mailshim -n "__fish_mailshim_using_subcommand sendmail" -s i -d 'A line with a dot alone does not end the message (also -oi)'
complete -c mailshim -n "__fish_mailshim_using_subcommand sendmail" -s v -d 'Show the dialogue'
complete -c mailshim -n "__fish_mailshim_using_subcommand sendmail" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand exec" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand healthcheck" -l ready -d 'Also ask for a working sign-in, as /readyz does'
complete -c mailshim -n "__fish_mailshim_using_subcommand healthcheck" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand wait" -l timeout -d 'Give up after this long: 45s, 2m' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand wait" -l ready -d 'Also ask for a working sign-in, as /readyz does'
complete -c mailshim -n "__fish_mailshim_using_subcommand wait" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and not __fish_seen_subcommand_from list show retry drop flush" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and not __fish_seen_subcommand_from list show retry drop flush" -f -a "list" -d 'What lies in the spool, why, and what to do about it'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and not __fish_seen_subcommand_from list show retry drop flush" -f -a "show" -d 'All that is known of one mail, but for its content'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and not __fish_seen_subcommand_from list show retry drop flush" -f -a "retry" -d 'Try mail now; a dead letter comes back with a fresh lifetime for those who did not get it'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and not __fish_seen_subcommand_from list show retry drop flush" -f -a "drop" -d 'Remove mail for good, and say what was removed'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and not __fish_seen_subcommand_from list show retry drop flush" -f -a "flush" -d 'Try all that waits now; dead letters stay'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from list" -l from -d 'Of this sender: an address, *@domain, or <>' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from list" -l to -d 'To this recipient: an address or *@domain' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from list" -l older -d 'Accepted at least this long ago: 45m, 2h, 3d' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from list" -l state -d 'In this state, or in one of several with commas' -r -f -a "waiting\t''
deferred\t''
dead\t''
damaged\t''"
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from list" -l json -d 'For programs: a line with a JSON object for each mail'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from show" -l content -d 'Print the mail as it will be sent, and nothing else'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from retry" -l from -d 'Of this sender: an address, *@domain, or <>' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from retry" -l to -d 'To this recipient: an address or *@domain' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from retry" -l older -d 'Accepted at least this long ago: 45m, 2h, 3d' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from retry" -l state -d 'In this state, or in one of several with commas' -r -f -a "waiting\t''
deferred\t''
dead\t''
damaged\t''"
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from retry" -l all -d 'All that waits and all dead letters, or those of them that the filters leave'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from retry" -l prepare -d 'Apply today\'s sender policy (MAILSHIM_FROM) to what the app gave'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from retry" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from drop" -l from -d 'Of this sender: an address, *@domain, or <>' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from drop" -l to -d 'To this recipient: an address or *@domain' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from drop" -l older -d 'Accepted at least this long ago: 45m, 2h, 3d' -r
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from drop" -l state -d 'In this state, or in one of several with commas' -r -f -a "waiting\t''
deferred\t''
dead\t''
damaged\t''"
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from drop" -l all -d 'All there is, or what the filters leave of it'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from drop" -l yes -d 'Do not ask; needed where there is no terminal'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from drop" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand queue; and __fish_seen_subcommand_from flush" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand status" -l json -d 'For programs: a JSON object; its keys are added to and never renamed'
complete -c mailshim -n "__fish_mailshim_using_subcommand status" -l watch -d 'Look again every 2 s, until it is interrupted'
complete -c mailshim -n "__fish_mailshim_using_subcommand status" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand setup" -l undo -d 'Print the script that takes it back, and nothing else'
complete -c mailshim -n "__fish_mailshim_using_subcommand setup" -l az -d 'In Entra use the Azure CLI instead of the Microsoft.Graph module'
complete -c mailshim -n "__fish_mailshim_using_subcommand setup" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand fleet; and not __fish_seen_subcommand_from init status" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand fleet; and not __fish_seen_subcommand_from init status" -f -a "init" -d 'Make the schema, or bring it up to date, as its owner; may be run again at any time'
complete -c mailshim -n "__fish_mailshim_using_subcommand fleet; and not __fish_seen_subcommand_from init status" -f -a "status" -d 'Replicas seen, who holds which connection, the pace, pauses with their cause; the engine'
complete -c mailshim -n "__fish_mailshim_using_subcommand fleet; and __fish_seen_subcommand_from init" -l print -d 'Print the SQL and connect to nothing'
complete -c mailshim -n "__fish_mailshim_using_subcommand fleet; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand fleet; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand login" -s h -l help -d 'Print help'
complete -c mailshim -n "__fish_mailshim_using_subcommand env" -s h -l help -d 'Print help'
