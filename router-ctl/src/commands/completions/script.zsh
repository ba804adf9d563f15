#compdef router-ctl
# zsh completion of router-ctl: asks router-ctl itself.
_router-ctl() {
    local line
    local -a found
    for line in "${(@f)$(${(Q)words[1]/#\~/$HOME} __complete zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
        :files)
            _files
            return
            ;;
        :dirs)
            _files -/
            return
            ;;
        ?*)
            line=${line//:/\\:}
            found+=("${line/$'\t'/:}")
            ;;
        esac
    done
    _describe 'router-ctl' found
}
if [ "$funcstack[1]" = "_router-ctl" ]; then
    _router-ctl "$@"
else
    compdef _router-ctl router-ctl
fi
