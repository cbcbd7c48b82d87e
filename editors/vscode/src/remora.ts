/** Runs commands for the others: visibly, with progress, questions and errors, or quietly for a look. */
import * as vscode from 'vscode';
import type { Channel } from './channel';
import { read, type Document, type Json, type Name } from './contract';
import { Failure, resultOf, tell } from './failure';
import { NotInstalled, type Installation } from './installation';
import { start, type Listener, type Running } from './process';
import { ask } from './questions';

export class Remora {
  constructor(private readonly installation: Installation, readonly channel: Channel) {}

  /**
   * A command with everything shown. Undefined where it failed or was given up; the user has then been told.
   * `answer` answers what the command asks, if the user has said it before.
   */
  async show<N extends Name>(
    name: N, title: string, words: readonly string[], folder: vscode.Uri, answer?: Listener['question'],
  ): Promise<Document<N> | undefined> {
    return this.perform(title, words, folder, (document) => read(name, document), answer);
  }

  /** A command that nobody waits for and that asks nothing. Throws Failure, ContractError or NotInstalled. */
  async look<N extends Name>(name: N, words: readonly string[], folder: vscode.Uri): Promise<Document<N>> {
    const running = start(await this.installation.program(folder, true), words, folder.fsPath, silent);
    running.close();
    return read(name, resultOf(await running.ended));
  }

  /** A command that goes on until it is stopped; each document it prints is handed over. */
  async follow(words: readonly string[], folder: vscode.Uri, take: (document: Json) => void): Promise<Running> {
    const program = await this.installation.program(folder);
    const listener = this.listener('', () => undefined);
    return start(program, words, folder.fsPath, { ...listener, document: take });
  }

  /** Tells what went wrong; runs the next command where the user says so. */
  explain(error: unknown, title: string, folder: vscode.Uri): void {
    if (error instanceof NotInstalled) return;
    if (!(error instanceof Failure)) {
      const message = error instanceof Error ? error.message : String(error);
      this.channel.line(`✗ ${message}`);
      void vscode.window.showErrorMessage(`${title}: ${message}`);
      return;
    }
    this.channel.failure(error.document);
    void tell(error).then((next) => next && this.next(next, folder));
  }

  /** A command of the palette is run as from there, any other of ours as they are, another program's in a terminal. */
  private async next(words: readonly string[], folder: vscode.Uri): Promise<void> {
    const [program, command = '', ...rest] = words;
    const known = `remora.${command}`;
    if (program !== 'remora') {
      const terminal = vscode.window.createTerminal({ name: 'AI Toolkit', cwd: folder });
      terminal.show();
      terminal.sendText(words.join(' '));
    } else if (rest.every((word) => word === '.') && (await vscode.commands.getCommands(true)).includes(known)) {
      await vscode.commands.executeCommand(known);
    } else {
      const title = words.join(' ');
      const done = await this.perform(title, words.slice(1), folder, (document) => document);
      if (done) void vscode.window.showInformationMessage(`${title}: done.`);
    }
  }

  private async perform<T>(
    title: string, words: readonly string[], folder: vscode.Uri, take: (document: Json) => T, answer?: Listener['question'],
  ): Promise<T | undefined> {
    try {
      const program = await this.installation.program(folder);
      this.channel.command(words);
      const location = vscode.ProgressLocation.Notification;
      return await vscode.window.withProgress({ location, title, cancellable: true }, async (progress, token) => {
        const listener = this.listener(title, (message) => { progress.report({ message }); });
        const running = start(program, words, folder.fsPath, answer ? { ...listener, question: answer } : listener);
        token.onCancellationRequested(() => { running.interrupt(); });
        return take(resultOf(await running.ended));
      });
    } catch (error) {
      this.explain(error, title, folder);
      return undefined;
    }
  }

  private listener(title: string, now: (message: string) => void): Listener {
    return {
      progress: (event) => { now(event.text); this.channel.progress(event); },
      question: (question) => ask(question, title),
      text: (line) => { this.channel.line(line); },
    };
  }
}

const silent: Listener = { progress: () => undefined, question: () => Promise.resolve(null), text: () => undefined };
