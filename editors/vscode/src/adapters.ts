/** The tree *Inference Adapters*: what the endpoint serves, the base first. */
import * as vscode from 'vscode';
import type { Document } from './contract';

type Model = Document<'status'>['models'][number];

export class Adapters implements vscode.TreeDataProvider<Model>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  private models: readonly Model[] = [];

  take(status: Document<'status'> | undefined): void {
    this.models = status?.models ?? [];
    this.changed.fire(undefined);
  }

  getChildren(parent?: Model): Model[] {
    return parent ? [] : [...this.models];
  }

  getTreeItem(model: Model): vscode.TreeItem {
    const item = new vscode.TreeItem(model.id);
    item.iconPath = new vscode.ThemeIcon('symbol-misc');
    return item;
  }

  dispose(): void {
    this.changed.dispose();
  }
}
