/** Show inference logs: follows what the container prints, in an output channel of its own. */
import * as vscode from 'vscode';
import { nameOf, read } from './contract';
import { resultOf } from './failure';
import type { Running } from './process';
import type { Remora } from './remora';

const TITLE = 'Show inference logs';

export class Logs implements vscode.Disposable {
  private readonly output = vscode.window.createOutputChannel('AI Toolkit: inference logs');
  private running: Running | undefined;

  constructor(private readonly remora: Remora) {}

  /** Begins anew each time, so that what is shown is of this folder and of now. */
  async show(folder: vscode.Uri): Promise<void> {
    this.running?.interrupt();
    this.output.clear();
    this.output.show(true);
    try {
      const running = await this.remora.follow(['logs', '--follow', '--tail', '200'], folder, (document) => {
        if (nameOf(document) === 'log') this.output.appendLine(read('log', document).text);
      });
      this.running = running;
      const ended = await running.ended;
      if (this.running === running && ended.code !== 0) resultOf(ended);
    } catch (error) {
      this.remora.explain(error, TITLE, folder);
    }
  }

  dispose(): void {
    this.running?.interrupt();
    this.output.dispose();
  }
}
