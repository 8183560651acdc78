// Command kube is a whole Kubernetes in one binary: control plane, node agents, etcd and kubectl.
//
// The end-to-end tests need real components on a plain machine where nobody hands out Kubernetes
// releases. Go modules are available wherever Go is, so the components are imported as libraries and
// picked by the first argument; the rest of the command line is the component's own.
package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func components() map[string]func() int {
	cobraComponent := func(build func() *cobra.Command) func() int {
		return func() int { return cli.Run(build()) }
	}
	return map[string]func() int{
		"etcd":               func() int { etcdmain.Main(os.Args); return 0 },
		"apiserver":          cobraComponent(apiserver.NewAPIServerCommand),
		"controller-manager": cobraComponent(controllermanager.NewControllerManagerCommand),
		"scheduler":          cobraComponent(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
		"kubelet":            cobraComponent(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }),
		"proxy":              cobraComponent(proxy.NewProxyCommand),
		"kubectl":            cobraComponent(kubectl.NewDefaultKubectlCommand),
	}
}

func main() {
	known := components()
	if len(os.Args) > 1 {
		if run, found := known[os.Args[1]]; found {
			os.Args = os.Args[1:]
			os.Exit(run())
		}
	}
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Fprintf(os.Stderr, "usage: kube <%s> [flags of that component]\n", strings.Join(names, "|"))
	os.Exit(2)
}
