import { parseConfig, runService } from '@blockferry/runtime/service'
import { startApplier } from './app.ts'
import { options } from './config.ts'

await runService({
  service: 'applier',
  start: (context) => {
    const config = parseConfig({ service: 'applier', options, argv: context.argv, env: context.env })
    return startApplier(config, context)
  },
})
