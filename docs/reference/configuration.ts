import { globSync } from 'node:fs'
import { join } from 'node:path'
import { describeOptions, type OptionTable } from '@blockferry/runtime/service'

/** docs/configuration.md, made from the `options` table of every service's config.ts. */
export async function renderConfigurationReference(root: string): Promise<string> {
  const sections: string[] = []
  for (const path of globSync('services/*/src/config.ts', { cwd: root }).toSorted()) {
    const { options } = (await import(join(root, path))) as { options: OptionTable }
    const rows = describeOptions(options).map((row) => {
      const value = row.default === null ? '*required*' : row.default === '' ? '*none*' : `\`${row.default}\``
      const unit = row.unit === '' ? '' : ` ${row.unit}`
      return `| \`${row.key}\` | \`${row.environment}\` | ${cell(row.expected)}${unit} | ${value} | ${cell(row.doc)} |`
    })
    const service = path.split('/')[1] ?? path
    sections.push(
      `## ${service}\n\n| key | environment | expected | default | meaning |\n|---|---|---|---|---|\n${rows.join('\n')}\n`,
    )
  }
  return `${head}\n${sections.join('\n')}`
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

const head = `# Configuration

Each service takes an option by flag (\`--kebab-case\`), environment (\`BLOCKFERRY_…\`), YAML file (\`--config FILE\`, camelCase keys),
else its default: in this order. An unknown key is a fault. All faults are reported at once, with name, value, unit and
expected range, and the process ends with status 78. Made from the code by \`npm run docs\`; a test keeps it true.
`
