import { EXIT } from '../exit.ts';
import { defineCommand } from './command.ts';
import { argument, choiceOption } from './options.ts';

/**
 * The scripts by shell. Each calls the program, `losant-usage complete -- WORD…`, and offers files if
 * that returns nothing.
 */
const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# bash completion for losant-usage
_losant_usage() {
  mapfile -t COMPREPLY < <(losant-usage complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1)
}
complete -o default -F _losant_usage losant-usage`,
  zsh: `#compdef losant-usage
_losant_usage() {
  local line
  local -a found
  for line in "\${(@f)$(losant-usage complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] && found+=("\${line/$'\\t'/:}")
  done
  if (( $#found )); then _describe value found; else _files; fi
}
if [[ "$funcstack[1]" == _losant_usage ]]; then _losant_usage "$@"; else compdef _losant_usage losant-usage; fi`,
  fish: `# fish completion for losant-usage
function __losant_usage
  losant-usage complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null
end
complete -c losant-usage -f -n 'test -n "$(__losant_usage)"' -a '(__losant_usage)'
complete -c losant-usage -F -n 'test -z "$(__losant_usage)"'`,
};

const shells = Object.keys(SCRIPTS);

export const completion = defineCommand({
  needs: 'none',
  json: false,
  options: { shell: argument(choiceOption('shells', 'your shell', shells)) },
  examples: () => [
    { args: 'completion bash > ~/.local/share/bash-completion/completions/losant-usage', does: 'bash' },
    { args: 'completion zsh > ~/.zfunc/_losant-usage', does: 'zsh, with ~/.zfunc in its fpath' },
    { args: 'completion fish > ~/.config/fish/completions/losant-usage.fish', does: 'fish' },
  ],
  run({ output }, { shell }) {
    output.print(...(SCRIPTS[shell] ?? '').split('\n'));
    return Promise.resolve(EXIT.ok);
  },
});
