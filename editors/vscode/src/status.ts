/** The endpoint's state: a status bar item that looks when something may have changed, and the command that shows it all. */
import * as vscode from 'vscode';
import type { Document } from './contract';
import { Failure } from './failure';
import { firstFolder } from './folder';
import type { Remora } from './remora';

interface Shown {
  readonly text: string;
  readonly tooltip: string;
  readonly command: string;
}

/** What the item says where there is no answer, by the error's code. */
const PROBLEMS: Readonly<Record<string, Shown>> = {
  deployment_not_found: { text: '$(rocket) Not deployed', tooltip: 'Provision Azure Container Apps for inference', command: 'remora.provision' },
  cloud_unavailable: { text: '$(circle-slash) Cloud stopped', tooltip: 'The cloud does not answer. Click to wake it.', command: 'remora.status' },
};

export class Status implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem('remora.status', vscode.StatusBarAlignment.Left);
  private readonly changed = new vscode.EventEmitter<Document<'status'> | undefined>();
  /** The newest state; undefined where there is none. */
  readonly onDidChange = this.changed.event;

  constructor(private readonly remora: Remora) {
    this.item.name = 'AI Toolkit inference';
  }

  /** The command: everything, in the output channel. May start a local cloud that is stopped. */
  async show(folder: vscode.Uri): Promise<void> {
    this.remora.channel.show();
    const status = await this.remora.show('status', 'Show inference status', ['status'], folder);
    if (status) this.take(status);
  }

  /** A quiet look: starts and wakes nothing. */
  async look(): Promise<void> {
    const folder = firstFolder();
    if (!folder) return;
    try {
      this.take(await this.remora.look('status', ['status', '--no-start'], folder));
    } catch (error) {
      this.set(problem(error));
      this.changed.fire(undefined);
    }
  }

  dispose(): void {
    this.item.dispose();
    this.changed.dispose();
  }

  private take(status: Document<'status'>): void {
    this.set(shown(status));
    this.changed.fire(status);
  }

  private set(state: Shown): void {
    Object.assign(this.item, state);
    this.item.show();
  }
}

function shown(status: Document<'status'>): Shown {
  const adapters = Math.max(0, status.models.length - 1); // the first one is the base
  const states = { true: ['$(check)', `${adapters} adapter${adapters === 1 ? '' : 's'}`], false: ['$(error)', 'not answering'], null: ['$(watch)', 'asleep'] };
  const [icon, state] = states[`${status.answers}`];
  return {
    text: `${icon} ${status.cloud}: ${state}`,
    tooltip: [`${status.app} in ${status.resource_group}`, status.endpoint, status.problem, ...status.models.map((model) => `· ${model.id}`)]
      .filter(Boolean).join('\n'),
    command: 'remora.status',
  };
}

function problem(error: unknown): Shown {
  const known = error instanceof Failure ? PROBLEMS[error.code] : undefined;
  const tooltip = error instanceof Error ? error.message : String(error);
  return known ?? { text: '$(warning) Inference', tooltip, command: 'remora.status' };
}
