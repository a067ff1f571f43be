# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# bash completion for prereg. Options, columns and processes are prereg's own answers.

_prereg_options() {
	prereg "$1" --help 2>/dev/null | sed -n 's/^  \(-.,\|   \) \(--[a-z]*\).*/\2/p'
}

_prereg_columns() {
	prereg list --help 2>/dev/null | sed -n 's/^  [* ] \([A-Z_]*\) .*/\1/p' | sort -u
}

_prereg() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} head=
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W 'list show top events doctor metrics --help --usage --version' -- "$cur")
		return
	fi
	# "--output=PID" is three words.
	if [ "$prev" = = ]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	elif [ "$cur" = = ]; then
		cur=
	fi
	case $command$prev in
	metrics-o | metrics--output)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	*-o | *--output | *-S | *--sort)
		# Behind the last comma, or the plus.
		case $cur in
		*,*) head=${cur%,*}, cur=${cur##*,} ;;
		+*) head=+ cur=${cur#+} ;;
		esac
		mapfile -t COMPREPLY < <(compgen -P "$head" -W "$(_prereg_columns)" -- "$cur")
		return
		;;
	*-s | *--sysroot)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	esac
	case $cur in
	-*) mapfile -t COMPREPLY < <(compgen -W "$(_prereg_options "$command")" -- "$cur") ;;
	*)
		if [ "$command" = show ]; then
			mapfile -t COMPREPLY < <(compgen -W "$(prereg list --raw --noheadings --output PID 2>/dev/null)" -- "$cur")
		fi
		;;
	esac
}
complete -F _prereg prereg
