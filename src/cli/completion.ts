import { EXIT } from '../exit.ts';
import { type Command, defineCommand } from './command.ts';
import { choiceArgument } from './options.ts';

/** `completion` for a list of commands, which it is itself one of, and the things that those of two words are about. */
export function completionOf(list: () => readonly Command[], things: Readonly<Record<string, string>>) {
  return defineCommand({
    name: 'completion',
    summary: 'print a script that completes commands and options in your shell',
    group: 'Set up',
    needs: 'none',
    json: false,
    options: { shell: choiceArgument('your shell', ['bash', 'zsh', 'fish']) },
    examples: [
      { args: 'completion bash > ~/.local/share/bash-completion/completions/losant-usage', does: 'bash' },
      { args: 'completion zsh > ~/.zfunc/_losant-usage', does: 'zsh, with ~/.zfunc in its fpath' },
      { args: 'completion fish > ~/.config/fish/completions/losant-usage.fish', does: 'fish' },
    ],
    async run({ output }, { shell }) {
      const { listForCompletion, renderCompletion } = await import('./x-completion-scripts.ts');
      output.print(...renderCompletion(shell, await listForCompletion(list()), things));
      return EXIT.ok;
    },
  });
}
