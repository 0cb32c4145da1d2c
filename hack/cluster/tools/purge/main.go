// Removes every pod sandbox, with its containers and network, from a container runtime: the orderly way to empty a node
// whose kubelet is gone. Usage: purge SOCKET
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const limit = 60 * time.Second

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: purge SOCKET")
		os.Exit(2)
	}
	count, err := purge(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "purge:", err)
		os.Exit(1)
	}
	fmt.Println(count)
}

func purge(socket string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	service := runtime.NewRuntimeServiceClient(connection)
	list, err := service.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{})
	if err != nil {
		return 0, err
	}
	failures := make(chan error, len(list.Items))
	slots := make(chan struct{}, 4)
	var group sync.WaitGroup
	for _, sandbox := range list.Items {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			failures <- remove(ctx, service, sandbox.Id)
		})
	}
	group.Wait()
	close(failures)
	for failure := range failures {
		if failure != nil {
			err = failure
		}
	}
	return len(list.Items), err
}

// remove kills what runs in a sandbox and deletes it; the runtime gives containers no grace here.
func remove(ctx context.Context, service runtime.RuntimeServiceClient, id string) error {
	if _, err := service.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
		return err
	}
	_, err := service.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: id})
	return err
}
