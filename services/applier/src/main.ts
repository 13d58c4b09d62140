import { parseConfig, runService } from '@blockferry/runtime/service'
import { startApplier } from './app.ts'
import { options, rules } from './config.ts'

await runService({
  service: 'applier',
  start: (context) => {
    const { argv, env } = context
    const config = parseConfig({ service: 'applier', options, rules, argv, env })
    return startApplier(config, context)
  },
})
